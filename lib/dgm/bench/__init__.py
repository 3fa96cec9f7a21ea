"""What the library's way with data, steps and samples is worth: `make bench`.

Two tasks, feeding images and training a variational autoencoder for one epoch, are timed as usually
done (one image at a time through PIL, `ToTensor` and a `DataLoader`) and as done here; then
sampling from autoregressive models, naive and incremental; then the start-up of `import dgm`.
Seconds tell little about another machine, ratios within one run more. So the ways take turns, each
in a fresh process, which gives each a peak of memory of its own.

A target that is missed is printed as missed: this is a measurement, not a test. It needs a machine
that does nothing else: OpenMP's threads wait for each other by spinning, and where programs share
the cores each can become tens of times slower. OMP_WAIT_POLICY=passive avoids that, at the cost of
some speed, most of it ours.

`python -m dgm.bench --quick` is a try-out; `--only sampling` leaves the two tasks out.
"""
