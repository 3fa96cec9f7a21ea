def gaussian_codes(codes, n):
    mu = codes.mean(0)
    C = (codes - mu).T @ (codes - mu) / len(codes)
    return mu + torch.randn(n, codes.shape[1], dtype=codes.dtype) @ C
