"""What a resumed run keeps of the records of the one before."""

import json

from mlcfast.runs.journal import Journal


def test_damaged_lines_are_left_out_with_a_warning(tmp_path, caplog):
    """A disk that filled up, a crash amid a line, a flipped bit: none of them ends a resume."""
    caplog.set_level("WARNING", "mlcfast")
    good = [json.dumps({"event": "train", "step": step, "loss": 1.0}) for step in (1, 2, 9)]
    bad = [b'{"event": "train", "st', b"\xff\xfe{}", b'{"step": "x"}', b"[3]", b"null"]
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join([good[0].encode(), *bad, good[1].encode(), good[2].encode()]))
    journal = Journal(tmp_path, is_main=True, from_step=2)
    journal.record("train", 3, loss=0.5)
    journal.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert "5 of 8 lines are damaged and left out" in caplog.text
