def maf_sample(net, z):
    x = torch.zeros_like(z)
    for j in range(z.shape[1]):
        mu, log_sigma = net(x)
        x[:, j] = mu[:, j] + (log_sigma[:, j] / 2).exp() * z[:, j]
    return x, z.shape[1]
