"""What is known exactly: closed forms, the free field, transfer matrices, tables."""

from genlat.exact.known import known as known
from genlat.exact.value import Known as Known
