def residual(z, books, beta):
    total, loss = 0.0, 0.0
    for book in books:
        e = book[torch.cdist(z, book).argmin(1)]
        learn, commit = (z.detach() - e).square().sum(1), (z - e.detach()).square().sum(1)
        loss, total = loss + learn + beta * commit, total + e
    return z + (total - z).detach(), loss
