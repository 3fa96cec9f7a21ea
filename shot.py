import asyncio,sys,subprocess
