def bits_per_dim(nats, D, L, low, high):
    return -nats / (D * math.log(2)) + math.log2(L)
