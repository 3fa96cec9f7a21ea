def resample(z, log_w):
    k = torch.distributions.Categorical(logits=log_w.mean(1)).sample()
    return z[k]
