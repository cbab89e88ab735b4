"""The Gaussian-process model of a study: values and derivatives in, mean and variance out."""
