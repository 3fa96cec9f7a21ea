"""Lossless coding: what a model says about data, as bits that can be counted and read again.

    frequencies, push, pop                  a stack of symbols that is one integer (ANS)
    encode, decode                          data, by any autoregressive model
    encode_bits_back, decode_bits_back      data, by a latent-variable model

A code is a Python integer, as long as it needs to be: `state.bit_length()` is its length in bits,
`state.to_bytes((state.bit_length() + 7) // 8)` a file of it. By an autoregressive model that length
is $-\\log_2 p(x)$, by a latent-variable model minus the ELBO, but for a little that is stated.

The decoder has to compute the very numbers that the encoder computed, to the last digit. Both
therefore work with a copy of the model on the CPU, in double precision, one conditional after the
other and on as many examples at a time. That is enough on one machine; on another one, sums may be
taken in another order, and a frequency rounded the other way loses everything below it.
"""

from .ans import frequencies, pop, push
from .bits_back import decode_bits_back, encode_bits_back
from .lossless import decode, encode

__all__ = [
    "decode",
    "decode_bits_back",
    "encode",
    "encode_bits_back",
    "frequencies",
    "pop",
    "push",
]
