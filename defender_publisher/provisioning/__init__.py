"""Provisioning: a device makes its own key and gets a certificate for it, by a claim or to replace the one it has.

https://docs.aws.amazon.com/iot/latest/developerguide/provision-wo-cert.html
"""
