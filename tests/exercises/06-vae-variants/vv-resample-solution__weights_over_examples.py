def resample(z, log_w):
    k = torch.distributions.Categorical(probs=log_w.softmax(1).T).sample()
    return z[k, torch.arange(z.shape[1])]
