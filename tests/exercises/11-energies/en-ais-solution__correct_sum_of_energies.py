@torch.no_grad()
def ais_log_weights(rbm, chains, betas):
    cold = dgm.models.RBM(rbm.shape, len(rbm.hidden_bias))

    def at(beta):  # the machine with all its parameters times beta
        for new, old in zip(cold.parameters(), rbm.parameters()):
            new.copy_(beta * old)
        return cold

    x = torch.bernoulli(torch.full((chains, *rbm.shape), 0.5))
    total = torch.full((chains,), math.log(2) * sum(rbm.weight.shape))
    for k in range(1, len(betas)):
        if k > 1:
            x = at(betas[k - 1]).gibbs(x)
        total += at(betas[k - 1]).energy(x)
        total -= at(betas[k]).energy(x)
    return total
