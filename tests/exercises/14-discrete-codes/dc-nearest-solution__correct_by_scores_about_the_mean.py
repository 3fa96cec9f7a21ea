def nearest(z, books):
    center = books.mean(1, keepdim=True)  # (M, 1, L)
    around, books = z - center[:, 0], books - center
    scores = torch.einsum("bml,mkl->bmk", around, books) - books.square().sum(2) / 2
    return scores.argmax(2)
