"""What EPR and ROLE share: the batch's statistic and the kernels, which serve both."""
