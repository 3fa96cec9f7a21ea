def resample(z, log_w):
    return z[log_w.argmax(0), torch.arange(z.shape[1])]
