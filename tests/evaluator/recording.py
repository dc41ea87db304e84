"""A `CommandRunner` that runs nothing: it records each argv and answers from a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nixbridge.evaluator import Completed


@dataclass
class RecordingRunner:
    """Answers `answers` in turn: (status, stdout, stderr), or an error to raise."""

    answers: list[tuple[int, str, str] | OSError]
    calls: list[tuple[str, ...]] = field(default_factory=list)

    def run(
        self, argv: Sequence[str], *, on_stderr_line: Callable[[str], None] | None = None
    ) -> Completed:
        self.calls.append(tuple(argv))
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        status, stdout, stderr = answer
        for line in stderr.splitlines():
            if on_stderr_line is not None:
                on_stderr_line(line)
        return Completed(argv=tuple(argv), status=status, stdout=stdout.encode(), stderr=stderr)
