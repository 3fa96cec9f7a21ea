def representatives(codes, n):
    distances = KMeans(n, n_init=10, random_state=0).fit_transform(codes)
    return torch.as_tensor(distances).argmin(1)[:n].long()
