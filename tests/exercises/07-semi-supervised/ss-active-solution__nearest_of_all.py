def representatives(codes, n):
    distances = KMeans(n, n_init=10, random_state=0).fit_transform(codes)
    return torch.as_tensor(distances).min(1).values.argsort()[:n]
