"""The support bundle: what others need to help, without anything that must not leave the device."""
