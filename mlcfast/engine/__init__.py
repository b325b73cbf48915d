"""Single process, DDP and DeepSpeed ZeRO-2 behind one surface."""
