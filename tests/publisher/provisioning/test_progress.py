"""Each step that is done is a line at DEBUG, which tests end a run at and operators do not see."""

from __future__ import annotations

import logging

import pytest

from defender_publisher.provisioning.progress import done


def test_a_step_is_a_line_of_the_log_and_its_name_is_what_a_run_can_be_ended_at(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        done("key kept")
    (record,) = caplog.records
    assert ("done: key kept", logging.DEBUG, ("key kept",)) == (record.getMessage(), record.levelno, record.args)
    assert "defender_publisher.provisioning.progress" == record.name, "which tests.publisher.provisioning.ended hears"


def test_a_step_with_a_percent_sign_is_no_format(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        done("link 100%s.pem")
    assert ["done: link 100%s.pem"] == caplog.messages


def test_an_operator_sees_none_of_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        done("key kept")
    assert [] == caplog.messages
