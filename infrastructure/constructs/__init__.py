"""One construct per unit of a fleet; with synthesis.py the only modules that import aws_cdk, which starts Node."""
