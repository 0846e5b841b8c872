"""Points and their distances: exact neighbours, the pairs worth a look, means of kernels. No models here."""
