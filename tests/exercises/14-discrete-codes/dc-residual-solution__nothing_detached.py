def residual(z, books, beta):
    left, loss = z, 0.0
    for book in books:
        e = book[torch.cdist(left, book).argmin(1)]
        loss, left = loss + (1 + beta) * (left - e).square().sum(1), left - e.detach()
    return z - left.detach(), loss
