"""Tells whether a backbone's pretrained weights can be had here, without loading them."""

import os
import urllib.error
import urllib.request
from typing import Literal

from huggingface_hub import constants, try_to_load_from_cache

FILES = ("model.safetensors", "pytorch_model.bin")  # what timm looks for, in this order
SECONDS = 5.0  # for one answer of the hub


def weights_at_hand(backbone: str) -> Literal["cached", "reachable", "none", "unreachable"]:
    """Where the pretrained weights of a timm model are: on this machine, on the hub, nowhere, or out of reach.

    none: there are no weights of that model. Nothing is downloaded.
    """
    import timm  # takes seconds, and is needed only here

    config = timm.get_pretrained_cfg(backbone, allow_unregistered=True)
    if config is None or not config.hf_hub_id:
        return "none"
    if any(isinstance(try_to_load_from_cache(config.hf_hub_id, file), str) for file in FILES):
        return "cached"
    reachable = not _told_to_stay_offline() and _answers(f"{constants.ENDPOINT}/{config.hf_hub_id}")
    return "reachable" if reachable else "unreachable"


def hub_is_away(backbone: str) -> bool:
    """Whether the weights of a timm model must be downloaded and the hub gives no answer of any kind.

    Said within a few seconds, where downloading would try for the better part of a minute.
    """
    if weights_at_hand(backbone) != "unreachable":
        return False
    if _told_to_stay_offline():
        return True
    try:
        with urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=SECONDS):
            return False
    except urllib.error.HTTPError:
        return False
    except OSError:
        return True


def _told_to_stay_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "0").lower() not in ("", "0", "false", "no", "off")


def _answers(address: str) -> bool:
    """Whether the hub says that it has the weights."""
    for file in FILES:
        request = urllib.request.Request(f"{address}/resolve/main/{file}", method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=SECONDS):
                return True
        except urllib.error.HTTPError:  # it answered, but has no such file
            continue
        except OSError:
            return False
    return False
