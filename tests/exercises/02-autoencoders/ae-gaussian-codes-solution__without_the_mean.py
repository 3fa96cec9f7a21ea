def gaussian_codes(codes, n):
    L = torch.linalg.cholesky(torch.cov(codes.T, correction=0))
    return torch.randn(n, codes.shape[1], dtype=codes.dtype) @ L.T
