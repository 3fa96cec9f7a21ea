def maf_sample(net, z):
    mu, log_sigma = net(z)
    return mu + log_sigma.exp() * z, 1
