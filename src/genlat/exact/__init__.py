"""What is known exactly: closed forms, the free field, transfer matrices, tables."""

from genlat.exact.known import Answer as Answer
from genlat.exact.known import answer as answer
from genlat.exact.known import known as known
from genlat.exact.value import Known as Known
