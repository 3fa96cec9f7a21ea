def residual(z, books, beta):
    left = z
    for book in books:
        e = book[torch.cdist(left, book).argmin(1)]
        learn, commit = (left.detach() - e).square().sum(1), (left - e.detach()).square().sum(1)
        loss, left = learn + beta * commit, left - e.detach()
    return z - left.detach(), loss
