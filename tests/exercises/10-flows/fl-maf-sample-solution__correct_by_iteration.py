def maf_sample(net, z):
    x = torch.randn_like(z)
    for _ in range(z.shape[1]):
        mu, log_sigma = net(x)
        x = mu + log_sigma.exp() * z
    return x, z.shape[1]
