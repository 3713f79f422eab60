"""Settings of the kernel in which the pages run."""

import logging
import sys
from pathlib import Path

c = get_config()  # noqa: F821  (given by IPython)

# ipykernel writes a note on its TCP port into the build's log.
c.IPKernelApp.log_level = logging.ERROR
# Figures are sharp on dense screens; their size is as drawn, not cropped.
c.InlineBackend.figure_formats = {"retina"}
c.InlineBackend.print_figure_kwargs = {"bbox_inches": None}
# Without a BLAS library Aesara says so on import, which does not concern a reader.
logging.getLogger("aesara.tensor.blas").setLevel(logging.ERROR)
# What lies beside this file: each figure is drawn for dark pages too, each run leaves a record.
sys.path.insert(0, str(Path(__file__).parent))
c.InteractiveShellApp.extensions = ["dark_figures", "run_record"]
