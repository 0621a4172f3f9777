"""`make lint` finds the words that people should not have to read, and leaves what only developers read alone."""

from __future__ import annotations

import ast

from reference.words import find, look_at, messages, names_of_tests, tracked

SOURCE = '''
"""A docstring may say can not."""
def test_it_is_made_anew(): pass
def f():
    """And so may this: can not."""
    log.warning("it can not "
                "be, %s")
    raise Error(f"{path} can not be read")
'''


def test_messages_are_looked_at_and_docstrings_are_not() -> None:
    assert [(6, "can not"), (8, "can not")] == [
        (each.line, each.found) for each in find("x", messages(ast.parse(SOURCE)))
    ]


def test_names_of_tests_are_looked_at() -> None:
    assert [(3, "made anew")] == [(each.line, each.found) for each in find("x", names_of_tests(ast.parse(SOURCE)))]


def test_a_finding_says_where_and_what_to_write_instead() -> None:
    (finding,) = find("README.md", iter([(3, "It can not.")]))
    assert 'README.md:3: "can not": write cannot' == str(finding)


def test_readme_and_scripts_are_among_what_is_looked_at() -> None:
    names = {path.name for path in tracked()}
    assert {"README.md", "amazon-defender-publisher", "install-rpi.bash", "deploy.py", "test_words.py"} <= names


def test_the_word_list_itself_is_left_alone() -> None:
    (path,) = (path for path in tracked() if path.name == "words.py")
    assert [] == list(look_at(path))
