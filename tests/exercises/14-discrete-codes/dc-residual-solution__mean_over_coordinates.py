def residual(z, books, beta):
    left, loss = z, 0.0
    for book in books:
        e = book[torch.cdist(left, book).argmin(1)]
        learn, commit = (left.detach() - e).square().mean(1), (left - e.detach()).square().mean(1)
        loss, left = loss + (learn + beta * commit) / len(books), left - e.detach()
    return z - left.detach(), loss
