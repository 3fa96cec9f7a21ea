def penalty(critic, real, fake):
    u = torch.rand(len(real), *[1] * (real.dim() - 1))
    x = (u * real + (1 - u) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square()


def train_wgan(generator, critic, batches):
    adam_g = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.0, 0.9))
    adam_c = torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.0, 0.9))
    for x in batches:
        for real in x.chunk(2):
            fake = generator.rsample(len(real)).detach()
            value = (critic(real) - critic(fake) + penalty(critic, real, fake)).mean()
            adam_c.zero_grad()
            (-value).backward()
            adam_c.step()
        cost = -critic(generator.rsample(len(real))).mean()
        adam_g.zero_grad()
        cost.backward()
        adam_g.step()
