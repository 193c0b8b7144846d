--[[
Deblur dual-pixel photographs from darktable's lighttable, by the command `dualpix`.

Select one Dual Pixel RAW, or the left and the right view of one photograph, and press "deblur with dualpix" under
"actions on selection". Two views are developed as darktable shows them, so both need the same settings. The picture
that comes back stands beside the first one, grouped with it.

Install: copy this file to darktable's folder `lua`, and add `require "dualpix"` to its `luarc`. Where the command is
not on the search path, say where it is in the preferences, under "Lua options".

`dofile(...)` gives { deblur = function(images) ... end, command = "dualpix" }, which needs no window; `deblur` returns
the new image.
]]

local dt = require "darktable"

local NAME = "dualpix"
local script = { command = NAME }
local IS_WINDOWS = package.config:sub(1, 1) == "\\"

-- A word of a command line. Windows has no quotes in names of files.
local function quoted(word)
  if IS_WINDOWS then return '"' .. word .. '"' end
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

local function content(path)
  local file = io.open(path, "r")
  if not file then return "" end
  local text = file:read("a")
  file:close()
  return text
end

local function path_of(image)
  return image.path .. (IS_WINDOWS and "\\" or "/") .. image.filename
end

-- Beside the photograph, under a name that nothing has yet.
local function free_name(image)
  local stem = path_of(image):gsub("%.[^./\\]*$", ""):gsub("[_ .-][lLrR]$", "")
  local number, path = 0, stem .. "-sharp.tif"
  while exists(path) do
    number = number + 1
    path = stem .. "-sharp-" .. number .. ".tif"
  end
  return path
end

-- The same text with the names of photographs in place of what they were exported to.
local function with_names(text, inputs, images)
  for number, path in ipairs(inputs) do
    local first, last = text:find(path, 1, true)
    if first then text = text:sub(1, first - 1) .. images[number].filename .. text:sub(last + 1) end
  end
  return text
end

-- Runs `dualpix deblur` on these files of images; raises what it says if that fails.
local function run(inputs, images, output, said)
  local words = { quoted(script.command), "deblur" }
  for _, path in ipairs(inputs) do words[#words + 1] = quoted(path) end
  words[#words + 1] = "-o " .. quoted(output) .. " 2> " .. quoted(said)
  local line = table.concat(words, " ")
  if IS_WINDOWS then line = '"' .. line .. '"' end -- cmd takes the outer quotes off
  if dt.control.execute(line) ~= 0 then -- as os.execute, while darktable goes on
    local why = content(said):match("([^\n]+)\n*$")
    local unknown = NAME .. " could not be started; say where it is in the preferences, under Lua options."
    error(why and with_names(why, inputs, images) or unknown, 0)
  end
end

-- The views as darktable shows them, 16 bits, whole.
local function developed(images, files)
  local tiff, paths = dt.new_format("tiff"), {}
  tiff.bpp = 16
  for number, image in ipairs(images) do
    paths[number] = os.tmpname()
    files[#files + 1] = paths[number]
    paths[number] = paths[number] .. (number == 1 and "_L.tif" or "_R.tif")
    files[#files + 1] = paths[number]
    tiff:write_image(image, paths[number], false)
    if not exists(paths[number]) then error(image.filename .. " could not be exported by darktable.", 0) end
  end
  return paths
end

-- One Dual Pixel RAW, or the left and the right view: the image of the picture that is sharp everywhere.
function script.deblur(images)
  if #images < 1 or #images > 2 then
    error("Select one Dual Pixel RAW, or the left and the right view; " .. #images .. " are selected.", 0)
  end
  local views = { table.unpack(images) }
  table.sort(views, function(one, other) return one.filename < other.filename end) -- L before R
  local said, files = os.tmpname(), {}
  local is_fine, made = pcall(function()
    local inputs = #views == 1 and { path_of(views[1]) } or developed(views, files)
    local output = free_name(views[1])
    run(inputs, views, output, said)
    local image = dt.database.import(output)
    image:group_with(views[1])
    return image
  end)
  files[#files + 1] = said
  for _, path in ipairs(files) do os.remove(path) end
  if not is_fine then error(made, 0) end
  return made
end

-- Without a window darktable waits for ever where a preference is registered.
if dt.configuration.has_gui then
  dt.preferences.register(NAME, "command", "string", "dualpix: the command", "its name, or where it is", NAME)
  dt.gui.libs.image.register_action(NAME, "deblur with dualpix", function()
    script.command = dt.preferences.read(NAME, "command", "string")
    local is_fine, made = pcall(script.deblur, dt.gui.action_images)
    dt.print(is_fine and "dualpix made " .. made.filename or tostring(made))
  end, "one Dual Pixel RAW, or the left and the right view of one photograph")
end

return script
