def full_kl(mu, L):
    diagonal = L.diagonal(dim1=1, dim2=2)
    return 0.5 * (diagonal.square() + mu.square() - 1 - 2 * diagonal.log()).sum(1)
