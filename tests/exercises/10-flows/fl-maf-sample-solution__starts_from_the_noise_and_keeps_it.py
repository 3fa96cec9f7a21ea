def maf_sample(net, z):
    x = z.clone()
    for j in range(z.shape[1]):
        mu, log_sigma = net(z)
        x[:, j] = mu[:, j] + log_sigma[:, j].exp() * z[:, j]
    return x, z.shape[1]
