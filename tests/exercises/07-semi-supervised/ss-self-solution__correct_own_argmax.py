def self_train(x, y, threshold, rounds):
    target, use = y.clone(), y >= 0
    for _ in range(rounds + 1):
        model = LogisticRegression().fit(x[use].numpy(), target[use].numpy())
        sureness, best = torch.as_tensor(model.predict_proba(x.numpy())).max(1)
        target = torch.where(y >= 0, y, torch.as_tensor(model.classes_)[best])
        use = (y >= 0) | (sureness >= threshold)
    return model
