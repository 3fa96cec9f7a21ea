def resample(z, log_w):
    k = torch.randint(len(z), (z.shape[1],))
    return z[k, torch.arange(z.shape[1])]
