def residual(z, books, beta):
    with torch.no_grad():
        total, chosen = torch.zeros_like(z), []
        for book in books:
            k = ((z - total)[:, None] - book).square().sum(2).argmin(1)
            total = total + book[k]
            chosen.append(k)
    before, loss = torch.zeros_like(z), 0.0
    for book, k in zip(books, chosen):
        e = book[k]
        commit = (z - (before + e).detach()).square().sum(1)
        loss = loss + (z.detach() - before - e).square().sum(1) + beta * commit
        before = before + e.detach()
    return z + (total - z).detach(), loss
