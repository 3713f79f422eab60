"""Settings of the kernel in which the pages run."""

import logging

c = get_config()  # noqa: F821  (given by IPython)

# ipykernel writes a note on its TCP port into the build's log.
c.IPKernelApp.log_level = logging.ERROR
# Figures are sharp on dense screens; their size is as drawn, not cropped.
c.InlineBackend.figure_formats = {"retina"}
# Without a BLAS library Aesara says so on import, which does not concern a reader.
logging.getLogger("aesara.tensor.blas").setLevel(logging.ERROR)
