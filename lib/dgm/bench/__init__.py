"""What the library's way with data, steps and samples is worth: `make bench`.

Tasks are timed as usually done (one image at a time through PIL, `ToTensor` and a `DataLoader`), as
done by pythae (a library of autoencoders), in the shortest loop of plain torch, and as done here:
feeding images, and training variational autoencoders of three sizes for one epoch, for which the
matrix products alone are timed too, and torch's profiler says what a step's time goes into. Then:
an epoch of the scoreboard's IWAE; scoring and drawing by flows, beside zuko and normflows; training
and drawing from a flow of the plane and a diffusion model, beside flow_matching and
denoising_diffusion_pytorch; a VQ-VAE and its codebook, beside vector_quantize_pytorch; sampling
from autoregressive models, naive and incremental, and what one parallel pass takes; how the cost of
training and of evaluating a likelihood grows with the work, and where a GPU could gain; the
start-up of `import dgm`.

Seconds tell little about another machine, ratios within one run more. So the ways take turns, each
in a fresh process, which gives each a peak of memory of its own, and a task is measured again until
the middle half of its repeats lies within a tenth, or six times. What compiling takes is stated and
no part of an epoch.

A target that is missed is printed as missed: this is a measurement, not a test. It needs a machine
that does nothing else: OpenMP's threads wait for each other by spinning, and where programs share
the cores each can become tens of times slower. OMP_WAIT_POLICY=passive avoids that, at the cost of
some speed, most of it ours.

Tables go to the log; they, the numbers behind them and a picture go to _build/bench.txt, .json and
.svg as well, and after a full run to book/records/bench/, where the book's page on speed finds
them. `python -m dgm.bench --quick` is a try-out.
"""
