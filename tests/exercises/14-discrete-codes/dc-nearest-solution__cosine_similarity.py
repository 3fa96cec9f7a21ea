def nearest(z, books):
    return nn.functional.cosine_similarity(z[:, :, None], books, dim=3).argmax(2)
