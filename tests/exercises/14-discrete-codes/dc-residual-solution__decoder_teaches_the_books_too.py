def residual(z, books, beta):
    left, loss, total = z, 0.0, 0.0
    for book in books:
        e = book[torch.cdist(left, book).argmin(1)]
        learn, commit = (left.detach() - e).square().sum(1), (left - e.detach()).square().sum(1)
        loss, left, total = loss + learn + beta * commit, left - e.detach(), total + e
    return total + z - z.detach(), loss
