def nearest(z, books):
    across = torch.einsum("bml,mkl->bmk", z, books)
    return (z.square().sum(2, keepdim=True) - 2 * across + books.square().sum(2)).argmin(2)
