"""Runs made up in memory, at the extremes of what people train: a report needs no training. And a reader of pages."""

from html.parser import HTMLParser

import numpy as np

from mlcfast.metrics import best_f1_thresholds, multilabel_report
from mlcfast.report.record import RunRecord

VOID = {"meta", "img", "br"}
LATIN = "a very long name of a label that nobody would type and that everybody exports, "
CHINESE = "水生哺乳动物在北冰洋的浮冰上休息并等待下一次潮汐到来时捕食鱼类和磷虾"
ARABIC = "قطة صغيرة تجلس على النافذة وتنظر الى الطيور في الحديقة"
HEBREW = "כלב גדול רץ בפארק ליד הנהר הארוך ומחפש את הכדור"
HOSTILE = "<script>alert(1)</script>", '"><img src=x>', "a & b", "$x_{1}$ \\alpha", "tab\there\nand there", "%s {0}"


def mixed_names(count: int) -> list[str]:
    """Distinct names of 1 to 80 characters: Latin, Chinese, Arabic and Hebrew in turn, with what tries the escaping."""
    names = [
        (("abc"[k % 3] if k < 3 else (LATIN, CHINESE, ARABIC, HEBREW)[k % 4] * 3)[: 1 + 7 * k % 80])
        for k in range(count)
    ]
    for place, name in enumerate(HOSTILE if count > len(HOSTILE) else ()):
        names[place * count // len(HOSTILE)] = name
    taken: set[str] = set()
    for k, name in enumerate(names):
        names[k] = name if name not in taken else f"{name[:74]} {k}"
        taken.add(names[k])
    return names


def record_of(names: list[str], images: int = 40, epochs: int = 3) -> RunRecord:
    """A finished run with these labels, one of which no image has; no file of it is there."""
    random, K = np.random.default_rng(0), len(names)
    labels = (random.random((images, K)) < min(0.4, 10 / K)).astype(np.int8)
    labels[0] = 0
    labels[1] = 1
    labels[:, K // 2] = K == 1
    labels[0, 0] = 0
    scores = np.clip(random.normal(0.3, 0.1, (images, K)) + 0.3 * labels, 0, 1)
    train = [
        {"step": step, "time": 60.0 * step, "loss": 1 / step, "lr": 1.5e-3 / step, "images_per_second": 80.0 + step}
        for step in range(1, 5 * epochs + 1)
    ]
    report = multilabel_report(scores, labels, names)
    evaluations = [
        {
            "step": 5 * epoch,
            "time": 300.0 * epoch,
            "epoch": epoch,
            "weights": which,
            "mAP": report["mAP"] * epoch / epochs,
        }
        for epoch in range(1, epochs + 1)
        for which in ("raw", "ema")
    ]
    card = {
        "labels": names,
        "thresholds": best_f1_thresholds(scores, labels).tolist(),
        "weights": "raw",
        "metrics": report,
        "model": {"backbone": "resnet18", "head": "query2label"},
        "config": {"data": {"root": "/data/<mine>", "train": "train.csv", "val": "val.csv"}},
    }
    positives = dict.fromkeys(names[:20], 7)
    side = {"images": images, "unlabelled": 1, "positives": positives}
    data = {
        "sides": {"training": side, "validation": side},
        "rarest": names[:20],
        "warnings": ["2 images are the same"],
    }
    paths = [f"/gone/<i>{HEBREW} {number}.jpg" for number in range(images)]
    return RunRecord("a <run>", "name: a run\n" * 60, train, evaluations, card, scores, labels, paths, None, data)


class Page(HTMLParser):
    """Checks that tags are balanced and collects texts and what is referred to."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.references: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.references += [value for name, value in attributes if name in ("src", "href", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
