"""What Python imports before a program: its `time_t` gets 32 bits."""

from tests.fakes.time_t import restrict

restrict()
