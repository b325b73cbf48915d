"""The losses a training loop imports: nn.Modules over the ops; needs torch alone."""
