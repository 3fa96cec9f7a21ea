def maf_sample(net, z):
    x, calls = torch.zeros_like(z), 0
    for i in range(len(z)):
        for j in range(z.shape[1]):
            mu, log_sigma = net(x)
            x[i, j] = mu[i, j] + log_sigma[i, j].exp() * z[i, j]
            calls += 1
    return x, calls
