def residual(z, books, beta):
    left, loss = z, 0.0
    for book in books:
        e = book[torch.cdist(left, book).argmin(1)]
        learn, commit = (left.detach() - e).square().sum(1), (left - e.detach()).square().sum(1)
        loss, left = loss + learn + beta * commit, left - e.detach()
    return z + (e - z).detach(), loss
