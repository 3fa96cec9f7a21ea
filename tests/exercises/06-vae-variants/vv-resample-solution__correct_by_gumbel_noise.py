def resample(z, log_w):
    gumbel = -(-torch.rand_like(log_w).log()).log()
    k = (log_w + gumbel).argmax(0)  # (B,)
    return z.take_along_dim(k[None, :, None], 0)[0]
