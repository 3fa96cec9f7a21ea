def resample(z, log_w):
    k = torch.distributions.Categorical(logits=-log_w.T).sample()
    return z[k, torch.arange(z.shape[1])]
